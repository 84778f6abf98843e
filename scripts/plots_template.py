"""Write the page that `dvc plots show` and `dvc plots diff` fill, with Vega's JavaScript inside.

DVC's own page loads it from the network. `plots.html_template` in .dvc/config names this one. DVC's
templates are of Vega-Lite 5, and so is the Vega-Lite in it.

    python scripts/plots_template.py
"""

from __future__ import annotations

from pathlib import Path

import vl_convert

PAGE = Path(__file__).resolve().parents[1] / ".dvc" / "plots_page.html"
VEGA_LITE = "5.21"
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<title>Plots</title>
<link rel="icon" href="data:,">
<style>
body { margin: 1.5rem; font-family: system-ui, sans-serif; background: #fff; color: #222; }
body > div { overflow-x: auto; margin-bottom: 2rem; }
img { max-width: 100%; }
table { border-spacing: 15px; }
</style>
<!-- Vega, Vega-Lite and Vega-Embed: Copyright University of Washington Interactive Data Lab,
     BSD-3-Clause, https://github.com/vega/vega -->
<script>
"""
TAIL = """
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def page() -> str:
    """Return the page, with DVC's placeholders."""
    return HEAD + vl_convert.javascript_bundle(vl_version=VEGA_LITE) + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
