"""``python -m benchmarks.build_inside STEP [WORD …]``: one step of a collection, within medagg.

A process of its own for each step, as a web worker freezes and a Celery worker builds, so that each
has a memory of its own. The last line of what it writes is a JSON object.
"""

import json
import os
import sys
from importlib import import_module

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")
    django.setup()
    # Not at the top: models can be imported only after django.setup().
    figures = import_module("benchmarks.collection_steps").run_step(*sys.argv[1:])
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
