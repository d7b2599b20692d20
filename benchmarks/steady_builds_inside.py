"""``python -m benchmarks.steady_builds_inside COUNT QUERY``: keeps builds going, within medagg.

Prints ``ready`` when the first ones are ordered, and a JSON object when its input ends.
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
    builds = import_module("benchmarks.steady_builds")
    figures = builds.keep_building(int(sys.argv[1]), sys.argv[2])
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
