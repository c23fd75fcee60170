"""The chart as a page of its own: tooltips, a line that follows the pointer, a legend that filters.

Everything is inline; nothing is loaded from anywhere.
"""

from __future__ import annotations

from html import escape

_STYLE = """
body{margin:0;background:#eef1f5;
font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
main{margin:20px auto;width:max-content;max-width:calc(100% - 40px);overflow-x:auto;background:#fff;
border:1px solid #d8dee6;border-radius:8px;box-shadow:0 1px 4px #0001}
svg{display:block}
.entry{cursor:pointer}
.entry.off{opacity:.3}
g[data-tip]:not(.entry):hover rect{stroke:#111}
#tip{position:fixed;pointer-events:none;white-space:pre;background:#1d2530;color:#f4f6f8;
padding:7px 10px;border-radius:5px;font-size:12px;line-height:1.45;display:none;max-width:90vw;
box-shadow:0 2px 8px #0004;overflow:hidden;text-overflow:ellipsis}
#line{stroke:#111;stroke-opacity:.35;pointer-events:none}
"""
_SCRIPT = """
const svg = document.querySelector('svg'), tip = document.getElementById('tip');
const {left, right, first, last, top: upper} = Object.fromEntries(
  Object.entries(svg.dataset).map(([key, value]) => [key, Number(value)]));
const height = svg.viewBox.baseVal.height, width = svg.viewBox.baseVal.width;
for (const title of [...svg.querySelectorAll('title')]) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
const line = document.createElementNS(svg.namespaceURI, 'line');
line.id = 'line'; line.setAttribute('y1', upper); line.setAttribute('y2', height - 20);
line.style.display = 'none';
svg.append(line);
svg.addEventListener('pointermove', event => {
  const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) * width / box.width;
  const inside = x >= left && x <= right;
  line.style.display = inside ? '' : 'none';
  line.setAttribute('x1', x); line.setAttribute('x2', x);
  const step = Math.round(first + (x - left) / (right - left) * (last - first));
  const shape = event.target.closest('[data-tip]');
  const lines = [shape && shape.dataset.tip, inside && 'step ' + step.toLocaleString('en')];
  tip.textContent = lines.filter(Boolean).join('\\n');
  tip.style.display = tip.textContent ? 'block' : 'none';
  const flips = event.clientX + tip.offsetWidth + 24 > innerWidth;
  tip.style.left = Math.max(4, event.clientX + (flips ? -tip.offsetWidth - 12 : 14)) + 'px';
  const low = event.clientY + tip.offsetHeight + 24 > innerHeight;
  tip.style.top = event.clientY + (low ? -tip.offsetHeight - 10 : 16) + 'px';
});
svg.addEventListener('pointerleave', () => {
  tip.style.display = line.style.display = 'none';
});
for (const entry of svg.querySelectorAll('.entry')) {
  entry.addEventListener('click', () => {
    const off = entry.classList.toggle('off');
    for (const shape of svg.querySelectorAll('.k' + entry.dataset.kind))
      if (!shape.closest('.entry')) shape.style.display = off ? 'none' : '';
  });
}
"""


def write_page(name: str, svg: str) -> str:
    """The page around a chart."""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(name)}: timeline</title><style>{_STYLE}</style></head>
<body><main>
{svg}</main>
<div id="tip"></div>
<script>{_SCRIPT}</script>
</body>
</html>
"""
