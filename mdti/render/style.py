"""The report's only style sheet: dark and light by preference, and fit for paper."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5b6470;
--line:#d9dee5;--accent:#0b5cad;--bad:#b3261e;--bad-soft:#fbe9e7;--warn:#7a5200;
--warn-soft:#fff4d6;--good:#1d6b3a;--name:#e8f1fb;--name-line:#7ba7d6;--own:#e5f4ea;
--own-line:#5fa579;--shared:#f1ecfa;--shared-line:#9a80c9;--stop:#eef0f2;--stop-line:#a3abb5}
@media (prefers-color-scheme:dark){:root{--paper:#12161b;--card:#1a2027;--ink:#e7ebf0;
--soft:#9aa5b1;--line:#303944;--accent:#7db8f5;--bad:#ff8a80;--bad-soft:#3a1c1b;--warn:#ffcf66;
--warn-soft:#352a10;--good:#7fd39b;--name:#1a2c40;--name-line:#4a7fb5;--own:#17301f;
--own-line:#4c9166;--shared:#2a2340;--shared-line:#8166b5;--stop:#252b33;--stop-line:#5f6975}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1280px;margin:0 auto;padding:24px 20px 60px}
header h1{font-size:22px;margin:0}
header p{margin:2px 0 20px;color:var(--soft)}
h2{font-size:20px;margin:0 0 4px;overflow-wrap:anywhere}
h2.host{font-size:18px;font-weight:600}
h3{font-size:16px;margin:24px 0 6px}
p{margin:4px 0}
a{color:var(--accent)}
code,.host{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:20px 22px;margin:0 0 20px}
.soft{color:var(--soft)}
.verdict{font-size:16px}
.badge{display:inline-block;padding:1px 9px;border-radius:99px;border:1px solid currentColor;
font-size:12px;font-weight:600;vertical-align:1px}
.high,.malicious,.raise{color:var(--bad)}
.medium,.suspicious{color:var(--warn)}
.low,.unknown,.neutral{color:var(--soft)}
.alarm{border-left:4px solid var(--bad);background:var(--bad-soft);padding:10px 14px;
border-radius:6px;margin:12px 0}
.note{border-left:4px solid var(--warn);background:var(--warn-soft);padding:10px 14px;
border-radius:6px;margin:12px 0}
.actors{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:14px}
.actor-card{border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.actor-card.escalates{border-color:var(--bad)}
.actor-card h3{margin:0 8px 0 0;display:inline}
ol.path{list-style:none;margin:2px 0 0;padding:0 0 0 4px}
ol.path li{padding:1px 0 1px 16px;border-left:2px solid var(--accent);overflow-wrap:anywhere}
.evidence{margin:12px 0 0;padding:0;list-style:none}
.evidence>li{margin:0 0 12px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);
vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
tr.quiet td{color:var(--soft)}
summary{cursor:pointer;color:var(--accent);margin:14px 0 6px}
pre{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:12px;
overflow-x:auto;font-size:12.5px;max-height:340px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:6px 0 0;padding:0;list-style:none;
font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:13px;height:13px;border-radius:4px;border:1.5px solid;
margin-right:6px;vertical-align:-2px}
.legend .name{background:var(--name);border-color:var(--name-line)}
.legend .dedicated{background:var(--own);border-color:var(--own-line)}
.legend .shared{background:var(--shared);border-color:var(--shared-line)}
.legend .hub{background:var(--stop);border:1.5px dashed var(--stop-line)}
.legend .mark{width:9px;height:9px;border-radius:9px;background:var(--bad);border:0;
vertical-align:0}
.legend .unfinished{background:var(--warn-soft);border-color:var(--warn)}
.legend .actor{background:var(--bad-soft);border-color:var(--bad);border-radius:8px}
svg.chain{display:block;margin:12px 0 0;max-width:none}
.chain text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink)}
.chain .name{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.chain .note{font-size:11px;fill:var(--soft)}
.chain .head{font-size:11px;font-weight:600;fill:var(--soft);letter-spacing:.05em;
text-transform:uppercase}
.chain rect{fill:var(--name);stroke:var(--name-line);stroke-width:1.2}
.chain .dedicated rect{fill:var(--own);stroke:var(--own-line)}
.chain .shared rect,.chain .cloud rect{fill:var(--shared);stroke:var(--shared-line)}
.chain .hub rect,.chain .flux rect,.chain .cdn rect,.chain .hosting rect,.chain .parking rect,
.chain .sinkhole rect,.chain .dynamicDns rect,.chain .allowlisted rect,.chain .folded rect{
fill:var(--stop);stroke:var(--stop-line);stroke-dasharray:4 3}
.chain .folded rect{stroke-dasharray:1 4}
.chain .unfinished rect{fill:var(--warn-soft);stroke:var(--warn)}
.chain .walked rect{stroke-width:2.4}
.chain .seed rect{stroke:var(--accent);stroke-width:3}
.chain .actor rect{fill:var(--card);stroke:var(--soft)}
.chain .escalates rect{fill:var(--bad-soft);stroke:var(--bad);stroke-width:2}
.chain .actor .name{font-family:system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;
font-weight:600}
.chain path{fill:none}
.chain .edge{stroke:var(--stop-line);stroke-width:1.1}
.chain .walked.edge{stroke:var(--accent);stroke-width:2.2}
.chain .claim{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:5 4}
.chain .mark{fill:var(--bad);pointer-events:none}
.chain .hit{stroke:transparent;stroke-width:12}
.chain g:hover>.edge,.chain g:hover>.claim{stroke-width:3.4}
@media print{body{background:#fff}main{max-width:none;padding:0}section{border:0;padding:0;
break-inside:auto}.actor-card,tr,svg.chain{break-inside:avoid}svg.chain{max-width:100%;
height:auto}a{color:inherit}pre{max-height:none;white-space:pre-wrap}}
"""
