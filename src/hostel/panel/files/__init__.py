"""Files of a home: what users do to them, and the pages for it. Owns no table."""
