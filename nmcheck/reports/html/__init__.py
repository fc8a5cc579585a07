"""One page with pictures, whole in itself: no script, no request, light and dark, on paper and on a phone."""
