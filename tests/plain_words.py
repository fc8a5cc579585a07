"""What a report says, whatever its format."""

import re


def plain(text: str) -> str:
    """Words without a format's marks."""
    unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&amp;", "&")
    unescaped = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), unescaped)
    return " ".join(unescaped.replace("\\", "").replace("<br>", " ").split()).lower()
