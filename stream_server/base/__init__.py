"""What has no domain: time, rates, the latest value, redaction, logs. Imports errors only."""
