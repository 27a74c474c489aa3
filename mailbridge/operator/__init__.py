"""Every verb that a person has over the bridge. Page, API and command line are its clients, and have no verbs of their own.

Each module holds the verbs of one noun; `verbs` is the table of all of them, `shapes` what they answer, `faults` how they fail.
"""
