"""Put Vega's JavaScript into .dvc/plots_page.html, the page that `dvc plots show` fills.

DVC's own page loads it from the network. `plots.html_template` in .dvc/config names this one. DVC's
templates are of Vega-Lite 5, and so is the Vega-Lite in it.

    python scripts/plots_template.py
"""

from __future__ import annotations

from pathlib import Path

import vl_convert

PAGE = Path(__file__).resolve().parents[1] / ".dvc" / "plots_page.html"
VEGA_LITE = "5.21"


def page() -> str:
    """Return the page, with DVC's placeholders and the JavaScript in its one `<script>`."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("<script>\n")
    tail = rest[rest.rindex("\n</script>") :]
    return f"{head}<script>\n{vl_convert.javascript_bundle(vl_version=VEGA_LITE)}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
