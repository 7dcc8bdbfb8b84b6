"""Consoles in the browser: pages, the WebSocket, and the deeds that the API shares. Owns no table."""
