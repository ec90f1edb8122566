"""Reports about runs: Chrome traces, terminal timelines, HTML pages."""

from __future__ import annotations

from weft.report.errors import ReportError
from weft.report.html import render_html, write_html
from weft.report.timeline import render_timeline
from weft.report.trace import trace_events, write_trace

__all__ = ["ReportError", "render_html", "render_timeline", "trace_events", "write_html", "write_trace"]
