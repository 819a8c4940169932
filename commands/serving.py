"""From resolved options to a running server: what serve.py does, step by step."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from commands.joined_runs import open_named
from inference.server.runs import ServedRun
from inference.server.settings import ServerOptions
from options.resolve import Options
from options.serve_options import ServedRunsOptions, words_for_classifying, words_for_testing
from options.test_options import TestOptions
from util.device import choose_device
from util.errors import UserError

if TYPE_CHECKING:
    from inference.server.naming import Names


class ServingSession:
    """Open the runs and the port at once, so that mistakes show before anyone connects; serve on :meth:`run`."""

    def __init__(self, options: Options) -> None:
        self._all, self.options, self.runs = options, options.of(ServerOptions), options.of(ServedRunsOptions)
        _check_libraries(self.options.page)
        os.environ["A2B_MAX_PIXELS"] = str(self.options.max_pixels)  # what the readers refuse to decode
        self.devices = [self._open(gpu, options) for gpu in self.runs.gpu_ids.split(",")]

    def _open(self, gpu: str, options: Options) -> dict[str, ServedRun]:
        """Return the runs, and with ``--ensemble`` what they are together, under all their names."""
        names = [*self.runs.name, *([",".join(self.runs.name)] if options.values["ensemble"] else [])]
        runs = {name: TestOptions().parse(words_for_testing(options, name, gpu)) for name in names}
        return {name: ServedRun(name, open_named(run).translator()) for name, run in runs.items()}

    def run(self) -> int:
        """Serve until Ctrl-C or a termination signal; return the exit code."""
        from inference.server import app
        from inference.server.service import Service

        with app.listen(self.options) as socket:
            service = Service(self.devices, self.options, self._classifier())
            try:
                application = app.make_app(service, self.options)
                self._greet(app.address(self.options, socket.getsockname()[1]))
                app.run(application, socket)
            finally:
                service.close()
        return 0

    def _classifier(self) -> Names | None:
        options, gpu = self.options, self.runs.gpu_ids.split(",")[0]
        if options.classifier_run is not None:
            return self._classifier_run(options.classifier_run, gpu)
        if options.classifier is None:
            return None
        from inference.server.classifier import Classifier

        files = {"weights": options.classifier_weights, "names": options.classifier_names}
        return Classifier(options.classifier, device=choose_device(gpu), **files)

    def _classifier_run(self, name: str, gpu: str) -> Names:
        from inference.server.naming import RunClassifier

        run = TestOptions().parse(words_for_classifying(self._all, name, gpu))
        if run.values["model"] != "classify":
            method = run.values["model"]
            raise UserError(f"--classifier_run {name}: a run of --model {method}; name one of --model classify")
        return RunClassifier(open_named(run).translator(), run.values["classes"])

    def _greet(self, address: str) -> None:
        options = self.options
        if not options.local and not options.token:
            print(
                f"note: whoever reaches {options.host} can use this server; --token asks for a secret", file=sys.stderr
            )
        print(f"serving {' | '.join(self.devices[0])}; the API is described at {address}openapi.json")
        if options.page:
            query = f"?token={quote(options.token, safe='')}" if options.token else ""
            print(f"open {address}{query}", flush=True)


def _check_libraries(page: bool) -> None:
    needed = ["fastapi", "uvicorn", "multipart", *(["gradio"] if page else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve.py needs {', '.join(missing)}: pip install -r requirements-serve.txt")
