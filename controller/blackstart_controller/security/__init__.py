"""Certificate authority, join tokens, operator tokens, and who a peer is."""
