"""The setup as data: what it asks, does and waits for. The command and the page show the same steps."""
