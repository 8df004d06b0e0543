"""One view of a finished run, written as JSON, Markdown, HTML and terminal lines.

`view.build` makes the view; `json_report`, `markdown`, `html` write it. `terminal` and `format` need only
report.json. This package itself imports nothing: the command line must not load the template engine.
"""
