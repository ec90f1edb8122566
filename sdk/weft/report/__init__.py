"""Reports about runs: Chrome traces, terminal timelines, HTML pages; pictures of partitions."""

from __future__ import annotations

from weft.report.control_flow import Paths
from weft.report.deployment import DeploymentView
from weft.report.errors import ReportError
from weft.report.explanation import render_explanation, write_explanation
from weft.report.flow_picture import render_flow, write_flow
from weft.report.html import render_html, write_html
from weft.report.picture import render_picture, write_picture
from weft.report.timeline import render_timeline
from weft.report.trace import trace_events, write_trace

__all__ = [
    "DeploymentView",
    "Paths",
    "ReportError",
    "render_explanation",
    "render_flow",
    "render_html",
    "render_picture",
    "render_timeline",
    "trace_events",
    "write_explanation",
    "write_flow",
    "write_html",
    "write_picture",
    "write_trace",
]
