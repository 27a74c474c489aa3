"""Claims become attempts, attempts become outcomes, outcomes are settled: a few senders for each target."""
