"""Tools for agents by the Model Context Protocol: `tools` is what they may ask, `http` and `stdio` are the two ways to it.

A tool is a client of the API like any other: roles, tokens, limits and records are those of the routes that it asks. `server` and `stdio`
import the SDK (extra ``mcp``); nothing else does, and nobody imports them before somebody asks.
"""
