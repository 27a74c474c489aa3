"""The one room that knows every other by name: settings become a snapshot, the daemon starts with it, and a reload swaps it."""
