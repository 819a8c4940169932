"""Fill the virtual environment of the Makefile: one clear line where Python is too old, the download size beforehand.

Standard library only, and parsed by old Pythons too, so that they can say what is wrong.
"""

from __future__ import print_function

import argparse
import os
import shlex
import subprocess
import sys

OLDEST = (3, 11)
OLDEST_TORCH = (2, 8)
VISDOM_WITHOUT_312 = "visdom==0.2.4"  # 0.3 needs Python 3.12; 0.2.4 builds only with an older setuptools
PROBE = """
import sys
if sys.prefix == sys.base_prefix:  # a venv inside a venv would see the outer base's packages, not these
    import torch
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= %r:
        print(torch.__version__)
"""


def main():
    if sys.version_info < OLDEST:
        sys.exit(
            "error: Python %d.%d is too old: install Python 3.11 or newer, or name it: "
            "make PYTHON=/path/to/python3.12" % sys.version_info[:2]
        )
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("requirements")
    parser.add_argument("--venv", default=".venv")
    parser.add_argument("--torch_index", default="", help="package index for torch and torchvision alone")
    parser.add_argument("--pip_args", default="", help="more arguments of pip install, in one string")
    args = parser.parse_args()
    pip_args = shlex.split(args.pip_args)
    python = venv_python(args.venv)
    if not os.path.exists(python):
        create(args.venv)
    if requires_torch(args.requirements):
        install_torch(python, args.torch_index, pip_args)
    pip(python, ["-r", args.requirements] + pip_args, keep=torch_version(python))
    if requires_torch(args.requirements):
        check_torchvision(python)
        if sys.version_info < (3, 12):
            install_old_visdom(python, pip_args)


def venv_python(venv):
    """Return the path of the environment's interpreter."""
    return os.path.join(venv, "Scripts", "python.exe") if os.name == "nt" else os.path.join(venv, "bin", "python")


def requires_torch(requirements):
    """Return whether the file lists torch, so that a development-only list skips everything about it."""
    with open(requirements) as file:
        return any(line.startswith("torch>=") for line in file)


def create(venv):
    """Make the environment; it shares the interpreter's own packages where they hold a good torch."""
    found = output([sys.executable, "-c", PROBE % (OLDEST_TORCH,)])
    share = ["--system-site-packages"] if found else []
    print(
        "making %s with Python %d.%d" % ((venv,) + sys.version_info[:2])
        + (", using the installed torch %s" % found if found else ""),
        flush=True,
    )
    if subprocess.call([sys.executable, "-m", "venv"] + share + [venv]):
        sys.exit(
            "error: python -m venv failed; on Debian and Ubuntu: apt install python%d.%d-venv" % sys.version_info[:2]
        )


def install_torch(python, index, pip_args):
    """Install torch and torchvision before the rest, saying first how much will be downloaded."""
    if torch_version(python):
        return
    if index:
        print("installing torch from %s" % index, flush=True)
    elif sys.platform.startswith("linux"):
        print(
            "installing torch with CUDA: about 2.5 GB to download, 6 GB on disk. Without a GPU stop here (Ctrl-C)\n"
            "and take the CPU build, 0.2 GB: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu",
            flush=True,
        )
    else:
        print("installing torch: about 0.2 GB to download", flush=True)
    pip(python, ["torch>=%d.%d" % OLDEST_TORCH, "torchvision"] + (["--index-url", index] if index else []) + pip_args)


def check_torchvision(python):
    """End the program when torch and torchvision do not fit (an installed CPU torch, a CUDA torchvision)."""
    if not output([python, "-c", "import torchvision; print(torchvision.__version__)"]):
        sys.exit(
            "error: torchvision does not fit the installed torch %s: remove the virtual environment and run\n"
            "make again with TORCH_INDEX=... and a PYTHON that has no torch of its own" % torch_version(python)
        )


def install_old_visdom(python, pip_args):
    """Install the last visdom for Python 3.11, or go on without live windows where it cannot be built."""
    if output([python, "-c", "import visdom; print(visdom.__version__)"]):
        return
    try:
        pip(python, ["setuptools<81", "wheel"] + pip_args)
        pip(python, ["--no-build-isolation", VISDOM_WITHOUT_312] + pip_args)
    except SystemExit:
        print("note: visdom could not be installed; everything but its live windows works without it", file=sys.stderr)


def torch_version(python):
    """Return the version of torch that ``python`` sees, or an empty string."""
    code = "from importlib import metadata, util; print(metadata.version('torch') if util.find_spec('torch') else '')"
    return output([python, "-c", code])


def pip(python, arguments, keep=""):
    """Run pip install; ``keep`` is the torch version that it must not replace. Ends the program when pip fails."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    command = [python, "-m", "pip", "install", "--quiet"] + arguments + (["torch==%s" % keep] if keep else [])
    if subprocess.call(command, env=environment):
        sys.exit("error: pip install failed; the reason is above. Run make again to go on from here")


def output(command):
    """Return what a command prints, or an empty string when it fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    main()
