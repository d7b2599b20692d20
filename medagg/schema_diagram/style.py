"""The diagram's style sheet. It brings its own background, so that it is read on any page."""

_LIGHT = {
    ".page": "fill:#fbfcfc",
    "text": "fill:#1d2b2f",
    ".quiet,.type,.end": "fill:#5b6b70",
    ".box": "fill:#ffffff;stroke:#b9c6ca",
    ".stripe": "fill:#f2f6f7",
    ".mark": "fill:#9a4a00",
    ".wire path,.many path": "stroke:#4d6a73",
    ".many path": "stroke:#8a4f9e",
    ".wire .joint": "fill:#4d6a73",
    ".many .joint": "fill:#8a4f9e",
    "path.halo": "stroke:#fbfcfc",
    ".auth .cap": "fill:#5b6b70",
    ".vocab .cap": "fill:#17706a",
    ".catalog .cap": "fill:#1f5f99",
    ".collections_app .cap": "fill:#7a4191",
    ".name,.links": "fill:#ffffff",
}
_DARK = {
    ".page": "fill:#10181b",
    "text": "fill:#e3eaec",
    ".quiet,.type,.end": "fill:#9fb0b6",
    ".box": "fill:#182327;stroke:#3c4d53",
    ".stripe": "fill:#1d2a2f",
    ".mark": "fill:#f0a860",
    ".wire path,.many path": "stroke:#8fb0ba",
    ".many path": "stroke:#c79ad8",
    ".wire .joint": "fill:#8fb0ba",
    ".many .joint": "fill:#c79ad8",
    "path.halo": "stroke:#10181b",
    ".auth .cap": "fill:#4d5b60",
    ".vocab .cap": "fill:#155f5a",
    ".catalog .cap": "fill:#1d5488",
    ".collections_app .cap": "fill:#693a7d",
    ".name,.links": "fill:#ffffff",
}
_SHAPES = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.title{font-size:20px;font-weight:600}
.heading{font-size:13px;font-weight:600}
.name{font-size:13px;font-weight:600}
.links{font-size:11px}
.type{font-size:11px;text-anchor:end}
.mark,.end{font-size:10px;font-weight:600}
.wire path,.many path{fill:none;stroke-width:1.4}
.many path{stroke-dasharray:5 3}
.wire path.halo,.many path.halo{stroke-width:6}
.many path.halo,.many path.foot{stroke-dasharray:none}
"""


def _rules(colors: dict[str, str]) -> str:
    return "\n".join(f"{selector}{{{style}}}" for selector, style in colors.items())


STYLE = f"{_SHAPES}{_rules(_LIGHT)}\n@media (prefers-color-scheme:dark){{\n{_rules(_DARK)}\n}}\n"
