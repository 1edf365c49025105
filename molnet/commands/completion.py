"""Print what makes a shell complete commands, files, settings and choices with the Tab key.

molnet completion bash|zsh|fish
"""

import sys
from collections.abc import Sequence

from molnet.training.errors import did_you_mean

USE = {
    "bash": "source <(molnet completion bash)     # in ~/.bashrc",
    "zsh": "source <(molnet completion zsh)      # in ~/.zshrc, after compinit",
    "fish": "molnet completion fish | source      # in ~/.config/fish/config.fish",
}

BASH = """\
_molnet() {
    local IFS=$'\\n'
    COMPREPLY=($("$1" complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null))
}
complete -o nospace -o default -F _molnet molnet"""

ZSH = """\
_molnet() {
    local -a found
    found=("${(@f)$($words[1] complete zsh "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
    [[ -n "$found[1]" ]] && compadd -Q -S '' -- $found
}
compdef _molnet molnet"""

FISH = """\
complete -c molnet -f -a '(molnet complete fish (commandline -cp) 2>/dev/null)'"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command.
    """
    if not arguments or arguments[0] in ("--help", "-h"):
        print(
            "molnet completion bash|zsh|fish\n\n"
            "Prints what makes the Tab key complete commands, files, settings and choices:\n"
        )
        print("\n".join(f"  {use}" for use in USE.values()))
    elif arguments[0] in SCRIPTS:
        print(SCRIPTS[arguments[0]])
    else:
        shell = arguments[0]
        print(f"error: unknown shell {shell}: {did_you_mean(shell, SCRIPTS)}", file=sys.stderr)
        sys.exit(1)
