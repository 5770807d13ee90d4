"""`convoscope` starts the app; `convoscope explain …` is the command line.

Installed, `core`, `pages` and `app.py` lie inside this package and are found only by it, so that no bare
`core` stands in anybody's environment. In a checkout they lie beside it: `python -m convoscope` runs them.
"""

import os
import sys
from pathlib import Path


def main() -> int:
    """Run the app or a command, and return its exit status.

    `convoscope app --server.port 8600` hands options to Streamlit.
    """
    here = Path(__file__).resolve().parent
    root = here if (here / "app.py").is_file() else here.parent
    sys.path.insert(0, str(root))
    # Trainings and other long jobs are processes of their own, which have to find the same modules.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    words = sys.argv[1:]
    if words and words[0] != "app":
        from core.__main__ import main as run_command

        return run_command(words, program="convoscope")
    from streamlit.web.cli import main as streamlit

    return int(streamlit(["run", str(root / "app.py"), *words[1:]], standalone_mode=False) or 0)


if __name__ == "__main__":
    sys.exit(main())
