"""What a page refers to, and how it is built."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Remembers references and images, and demands that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.references, self.open, self.images = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.references += [attributes[key] for key in ("src", "href", "action", "srcset") if key in attributes]
        if tag == "img":
            self.images.append(attributes)
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
