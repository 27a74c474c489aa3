"""Mail over HTTP: raw mails from a program of your own, and posts of mail services. Each becomes an Envelope after its proof."""
