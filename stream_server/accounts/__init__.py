"""Who may ask: users, tokens and sessions, what they grant, and until when."""
