"""The models of a project side by side, in the browser.

`comparing` answers, `merges` merges on demand, `table` shows answers as HTML; none of them knows
Gradio. `page` is the page, `app` the server.
"""
