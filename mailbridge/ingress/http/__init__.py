"""Mail over HTTP: raw mails from a program of one's own, and the posts of mail services, each made an Envelope after its proof."""
