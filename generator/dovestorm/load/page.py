"""The Delivery tab on Locust's page, the Delivery section of its HTML report, and the endpoints behind them.

Locust lets a page name extra tabs, but fills them with tables only. So the tab is one of Locust's own, and a script of ours (in ``assets``)
draws its charts. The scripts are written into the pages: nothing is fetched from elsewhere, and a saved report stands alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust.runners import STATE_SPAWNING

from dovestorm.errors import UsageError
from dovestorm.load import run as runs
from dovestorm.load.figures import OPENMETRICS_TYPE, figures, to_csv, to_openmetrics
from dovestorm.load.planning import plan_of, refuse_shared_file
from dovestorm.load.statistics import DeliveryStatistics

if TYPE_CHECKING:
    from flask import Response
    from locust.env import Environment

__all__ = ["add_csv", "add_page", "add_section"]

_ASSETS = Path(__file__).parent / "assets"
_SHOWN_S = 900
"""The live charts show the last quarter of an hour; the report shows all."""
_MARK = "dovestorm-delivery-data"
_TAB = """<script>
for (const [list, entry] of [
  ["extended_tabs", { title: "Delivery", key: "delivery" }],
  ["extended_csv_files", { href: "./delivery/csv", title: "Download delivery CSV" }],
]) window.templateArgs[list] = [...(window.templateArgs[list] || []), entry];
</script>
"""


def add_page(environment: Environment) -> None:
    """Add tab, report section and endpoints to Locust's web page, before it starts."""
    from flask import Blueprint, make_response

    page: Any = environment.web_ui
    options: Any = environment.parsed_options
    blueprint = Blueprint("dovestorm", __name__, url_prefix=f"{getattr(options, 'web_base_path', None) or ''}/delivery")

    def data() -> Response:
        shown = figures(runs.of(environment), last_s=_SHOWN_S)
        if shown["state"] == "none" and getattr(environment.runner, "state", "") == STATE_SPAWNING:
            shown["state"] = "preparing"
        return _fresh(make_response(json.dumps(shown)), "application/json")

    def seconds() -> Response:
        run = runs.of(environment)
        response = _fresh(make_response(to_csv(run.statistics if run else DeliveryStatistics())), "text/csv")
        response.headers["Content-Disposition"] = "attachment;filename=delivery.csv"
        return response

    def metrics() -> Response:
        return _fresh(make_response(to_openmetrics(runs.of(environment))), OPENMETRICS_TYPE)

    for name, answer in {"data": data, "csv": seconds, "metrics": metrics}.items():
        blueprint.add_url_rule(f"/{name}", name, page.auth_required_if_enabled(answer))

    def extend(response: Response) -> Response:
        from flask import request

        if response.status_code == 200 and not response.direct_passthrough:
            if request.endpoint == "locust.index":
                response.set_data(_before_end(response.get_data(as_text=True), _TAB + _script("start.js") + _drawing()))
            elif request.endpoint == "locust.request_stats":
                # Locust keeps this answer for two seconds, and with it what the state was before a start.
                response.set_data(json.dumps({**response.get_json(), "state": getattr(environment.runner, "state", "")}))
            elif request.endpoint == "locust.stats_report":
                response.set_data(_before_end(response.get_data(as_text=True), _section(environment)))
        return response

    def refusal() -> Response | None:
        """What the form shows instead of a start; else a run with wrong options would end at once, and only the log would say why."""
        from flask import request

        try:
            refuse_shared_file(plan_of(environment, form=request.form), environment)
        except UsageError as error:
            return make_response({"success": False, "message": str(error), "host": environment.host})
        return None

    check = page.auth_required_if_enabled(refusal)

    def before() -> Response | None:
        from flask import request

        return check() if request.endpoint == "locust.swarm" else None

    page.app.before_request(before)
    page.app.register_blueprint(blueprint)
    page.app.after_request(extend)


def add_section(environment: Environment) -> None:
    """Add the Delivery section to the HTML report that Locust has written for this run, if it has."""
    options: Any = environment.parsed_options
    name = getattr(options, "html_file", None)
    if not name or runs.of(environment) is None or not os.path.isfile(name):  # noqa: PTH113 - Locust's name, as it is
        return
    path = Path(name)
    # Locust may end without a report of its own; an older one must stay as it is.
    if path.stat().st_mtime < environment.stats.start_time:
        return
    text = path.read_text(encoding="utf-8")
    if _MARK not in text:
        path.write_text(_before_end(text, _section(environment)), encoding="utf-8")


def add_csv(environment: Environment) -> None:
    """Write ``PREFIX_delivery.csv`` beside the files of Locust's ``--csv PREFIX``."""
    prefix = getattr(environment.parsed_options, "csv_prefix", None)
    run = runs.of(environment)
    if prefix and run is not None:
        Path(f"{prefix}_delivery.csv").write_text(to_csv(run.statistics), encoding="utf-8")


def _fresh(response: Response, kind: str) -> Response:
    response.headers["Content-Type"] = kind
    response.headers["Cache-Control"] = "no-store"
    return response


def _section(environment: Environment) -> str:
    # In a script element only "</" could end the data too early.
    data = json.dumps(figures(runs.of(environment))).replace("<", "\\u003c")
    return f'<script type="application/json" id="{_MARK}">{data}</script>\n{_drawing()}'


def _drawing() -> str:
    style = (_ASSETS / "delivery.css").read_text(encoding="utf-8")
    return f"<style>\n{style}</style>\n{_script('delivery.js')}"


def _script(name: str) -> str:
    return f"<script>\n{(_ASSETS / name).read_text(encoding='utf-8')}</script>\n"


def _before_end(page: str, piece: str) -> str:
    """The piece before the last ``</body>``; a page that has none gets it at its end."""
    before, end, after = page.rpartition("</body>")
    return f"{before}{piece}{end}{after}" if end else page + piece
