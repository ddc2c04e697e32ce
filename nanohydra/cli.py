"""The command line: a command's name -> "module:main", imported when asked for.

Turns a user's mistake into one line and an exit code; knows nothing of what the commands do.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from rich.text import Text

from nanohydra import __version__
from nanohydra.core.errors import UserError
from nanohydra.core.log import console
from nanohydra.core.registry import Table

COMMANDS = Table(
    "command",
    {
        "speedrun": "nanohydra.commands.speedrun:main",
        "tokenizer": "nanohydra.commands.tokenizer:main",
        "data": "nanohydra.commands.data:main",
        "plan": "nanohydra.commands.plan:main",
        "pretrain": "nanohydra.commands.pretrain:main",
        "sft": "nanohydra.commands.sft:main",
        "lora": "nanohydra.commands.lora:main",
        "eval": "nanohydra.commands.eval:main",
        "continual": "nanohydra.commands.continual:main",
        "generate": "nanohydra.commands.generate:main",
        "chat": "nanohydra.commands.chat:main",
        "serve": "nanohydra.commands.serve:main",
        "bench": "nanohydra.commands.bench:main",
        "learn": "nanohydra.commands.learn:main",
        "lessons": "nanohydra.commands.lessons:main",
        "adapters": "nanohydra.commands.adapters:main",
        "consolidate": "nanohydra.commands.consolidate:main",
        "learner": "nanohydra.commands.learner:main",
        "import": "nanohydra.commands.import_:main",
        "export": "nanohydra.commands.export:main",
    },
)
# These own the machine and run thousands of small operations a second: threads that spin between
# them for a moment, as OpenMP does when it is told nothing, are 1.4 to 1.6 times faster.
TRAINING = ("speedrun", "pretrain", "sft", "lora", "continual")
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the process."""
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] not in TRAINING:
        # Two OpenMP pools that spin on the same cores slow each other about 30 times; OpenMP
        # reads this once, when torch is imported, and no command imports it before it runs.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        run(words)
        sys.stdout.flush()
    except UserError as error:
        line = " ".join(str(error).split("\n"))
        console(stderr=True).print(Text(f"error: {line}", style="bold red"), soft_wrap=True)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        console(stderr=True).print("\ninterrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # as in `nanohydra plan | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    return 0


def run(words: list[str]) -> None:
    """Run the command that the words name."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
    elif words[0] in ("-V", "--version"):
        print(f"nanohydra {__version__}")
    else:
        COMMANDS.load(words[0])(words[1:])


def help_text() -> str:
    """The commands, each with the first line of its module."""
    width = max(map(len, COMMANDS))
    lines = ["usage: nanohydra COMMAND [OPTIONS]", "", "commands:"]
    for name, target in COMMANDS.items():
        doc = importlib.import_module(target.partition(":")[0]).__doc__ or ""
        lines.append(f"  {name:{width}}  {doc.splitlines()[0]}")
    lines += [
        "",
        "nanohydra COMMAND --help shows the options of a command. Every command takes",
        "--recipe NAME or --recipe FILE.toml, and changes any key of it with --a.b=c.",
    ]
    return "\n".join(lines)
