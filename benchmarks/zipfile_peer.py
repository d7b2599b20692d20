"""``python -m benchmarks.zipfile_peer FOLDER OUT``: zip a folder in the simplest way."""

import sys
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile


def main() -> None:
    folder, out = Path(sys.argv[1]), sys.argv[2]
    with ZipFile(out, "w", ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main()
