"""The command line: `python -m data_access VERB`.

A verb is one file of this package: VERB.py (`import_gradio.py` is `import-gradio`) with a
`click.Command` named `command` that returns its exit code. Names that begin with an underscore
are not verbs.
"""

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import click

from data_access.errors import MisreadError
from data_access.progress import tolerate_any_encoding

EPILOG = """\b
The log is named by --log or MISREAD_LOG: s3://bucket/prefix (credentials, profile and endpoint
from the usual AWS variables and files) or a folder of the same shape. Without either, it is the
sample log of a `make run` that runs. What is read from it is cached in a DuckDB file
(MISREAD_WAREHOUSE), which can be deleted at any time.

\b
exit codes: 0 done; 1 done, but part of the log could not be read (said on standard error);
2 not done, and why.
"""


class Verbs(click.Group):
    """The files of this package as commands, each imported when it is needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        modules = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command


verbs = Verbs(
    help="Read a log of predictions and flags, and answer questions about it.", epilog=EPILOG
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code."""
    return run(verbs, "python -m data_access", arguments, "Stopped. What was done so far is kept.")


def run(
    command: click.Command, program: str, arguments: Sequence[str] | None, when_stopped: str
) -> int:
    """Run a command; returns its exit code, with one sentence on standard error where it failed.

    when_stopped: printed after Ctrl-C.
    """
    tolerate_any_encoding()
    try:
        code = command.main(
            None if arguments is None else list(arguments),
            prog_name=program,
            standalone_mode=False,
            max_content_width=100,
        )
        return int(code or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MisreadError as error:
        print(error, file=sys.stderr)
        return 2
    except click.Abort:
        print(when_stopped, file=sys.stderr)
        return 130
