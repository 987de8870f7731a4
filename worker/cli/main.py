"""The command line: which commands there are, and how each way to end looks."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import cyclopts
from msgspec import Struct

from worker import __version__
from worker.errors import Stopped, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

WRONG_USE = 2
INTERRUPTED = 130
ABOUT = """\
Watches live streams for a trust-and-safety team: reads segments from Kafka, samples keyframes, matches them with lists
of known material, scores them, and opens an incident for people to review when a stream's risk crosses its threshold.

Settings come from flags, the environment, a TOML file, defaults, in this order: kafka.group_id is --kafka.group-id,
FRAMEWATCH_KAFKA_GROUP_ID, and group_id in [kafka]."""


class Command(Struct, frozen=True):
    """A command: its function is imported only when it is called, so that help is quick."""

    name: str
    function: str
    """``module:function``."""
    group: str
    meaning: str


WORK, LOOK, SETUP = "Watching", "Looking into it", "Setting it up"
COMMANDS = (
    Command("run", "worker.cli.run:run", WORK, "Run a worker until SIGTERM or Ctrl-C."),
    Command("demo", "worker.cli.demo:demo", WORK, "Watch a worker at work on make-believe streams."),
    Command("publish", "worker.cli.publish:publish", LOOK, "Play a video into the segments topic as a live stream."),
    Command("inspect", "worker.cli.inspect:inspect", LOOK, "Show what the worker sees in a file."),
    Command("watch", "worker.cli.watch:watch", LOOK, "Show escalations as they come."),
    Command("explain", "worker.cli.explain:explain", LOOK, "Say why something was caught or not."),
    Command("incident", "worker.cli.incident:incident", LOOK, "Send an incident that says it is a test."),
    Command("check", "worker.cli.check:check", SETUP, "Look whether a worker can start, and what to do if not."),
    Command("topics", "worker.cli.topics:app", SETUP, "Make the topics, or write them and their rights down."),
    Command("state", "worker.cli.state:app", SETUP, "Move the streams' state after the segments topic has grown."),
    Command("model", "worker.cli.model:app", SETUP, "Check a classifier's folder, or make one."),
    Command("settings", "worker.cli.settings:settings", LOOK, "Show the settings in effect and where each came from."),
    Command("schema", "worker.cli.schema:schema", LOOK, "Write the contract's JSON Schemas and AsyncAPI document."),
)


def build(called: str | None = None) -> cyclopts.App:
    """Return the command line, nothing of it run.

    Args:
        called: The command that is going to be called: its help is its function's docstring, the others' their line
            in the table, so that they need not be imported.
    """
    app = cyclopts.App(
        name="framewatch",
        version=__version__,
        help=ABOUT,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    groups = {name: cyclopts.Group(name, sort_key=at) for at, name in enumerate((WORK, LOOK, SETUP), start=1)}
    for command in COMMANDS:
        text = None if command.name == called else command.meaning
        app.command(command.function, name=command.name, group=groups[command.group], help=text)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    That is what the command says, else 0; 1 when it could not go on, 2 after a mistake in use, 130 after Ctrl-C.

    Args:
        arguments: What stands after ``framewatch``; the process's own arguments if None.
    """
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        result = build(next(iter(tokens), None))(
            tokens,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except (cyclopts.CycloptsError, UsageError, Stopped) as error:
        sys.stderr.write(f"{_told(error)}\n")
        return 1 if isinstance(error, Stopped) else WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has left (``| head``). Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def _told(error: Exception) -> str:
    """A mistake in the command line in one line; the others say what they say."""
    if isinstance(error, cyclopts.UnusedCliTokensError):
        return f"not understood: {' '.join(error.unused_tokens or ())}"
    return " ".join(str(error).split()) if isinstance(error, cyclopts.CycloptsError) else str(error)
