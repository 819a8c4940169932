"""Write a trained run for other programs: ``python export.py --name NAME --format onnx,torch_export,safetensors``."""

from __future__ import annotations

from options.export_options import ExportOptions
from util.errors import run_script


def main() -> int:
    """Parse the flags, open the run, write, compare, print the table."""
    options = ExportOptions().parse()  # before torch is imported, so that mistakes are answered at once
    from commands.exporting import ExportSession

    return ExportSession(options).run()


if __name__ == "__main__":
    run_script(main)
