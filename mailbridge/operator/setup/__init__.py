"""Setting a bridge up: what is asked, done and waited for, as data; the command and the page show the same steps."""
