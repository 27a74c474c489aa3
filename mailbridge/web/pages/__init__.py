"""The page of an operator: what one sees of the bridge in a browser, rendered here on the server.

It is a client of `mailbridge.operator`, and has no verbs of its own. `entrance` names its paths and loads the rest at the first request,
so that a bridge that nobody looks at pays nothing for it. `door` says who may come in, `site` answers, `views` has a function for each
page, `words` every text.
"""
