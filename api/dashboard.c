/* GET /: one page, without anything from elsewhere, that asks the API for the models' statistics every two seconds. */
#include "api/handlers.h"
#include "api/request.h"

static const char page[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Atoll</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>\n"
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;"
    "color:#123;background:#fafcfc}\n"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin:1.6em 0 .3em}table{border-collapse:collapse;margin:.5em 0}\n"
    "td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}th{color:#678;font-weight:500}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bar{height:.6em;background:#2a8f8f;min-width:1px}\n"
    ".off{opacity:.5}#bad{color:#b22}\n"
    "</style>\n<h1>Atoll</h1><p id=\"bad\"></p><main id=\"all\">…</main>\n<script>\n"
    "'use strict';\n"
    "const E=(tag,kids,cls)=>{const e=document.createElement(tag);if(cls)e.className=cls;\n"
    " for(const k of [].concat(kids||[]))e.append(k);return e};\n"
    "const get=async path=>{const r=await fetch(path);if(!r.ok)throw Error(path+': '+r.status);return r.json()};\n"
    "const n=x=>x==null?'–':Number(x).toLocaleString('en',{maximumFractionDigits:3});\n"
    "const size=b=>b<1e6?n(b/1e3)+' kB':n(b/1e6)+' MB';\n"
    "const pct=x=>x==null?'–':(100*x).toFixed(1)+' %';\n"
    "const row=(cells,tag='td')=>E('tr',cells.map(c=>c&&c.nodeType?c:E(tag,String(c),typeof c==='number'?'n':'')));\n"
    "function experts(list){\n"
    " const t=E('table',row(['id','state','records','share','','loss','bytes','domain','labels'],'th'));\n"
    " for(const e of list){const bar=E('div',[],'bar');bar.style.width=Math.round(120*(e.share||0))+'px';\n"
    "  const r=row([e.id,e.state,E('td',n(e.records),'n'),E('td',pct(e.share),'n'),E('td',bar),E('td',n(e.loss),'n'),\n"
    "   E('td',size(e.bytes),'n'),e.domain||'',e.labels.slice(0,6).join(', ')+(e.label_count>6?', …':'')]);\n"
    "  if(e.state==='archived')r.className='off';t.append(r)}\n"
    " return t}\n"
    "async function model(m){\n"
    " const at='/v1/models/'+encodeURIComponent(m.name);\n"
    " const [s,x]=await Promise.all([get(at+'/stats'),get(at+'/experts')]);\n"
    " const facts=[['state',m.state+(m.failure?': '+m.failure:'')],['version',n(s.version)],['backlog',n(s.backlog)],\n"
    "  ['records',n(s.records)],['labels',n(s.labels)],['exemplars',n(s.exemplars)],\n"
    "  ['right before learned',pct(s.prequential)+', lately '+pct(s.prequential_recent)],\n"
    "  ['no-change baseline',pct(s.no_change)],['gate entropy',n(s.gate_entropy)],\n"
    "  ['routed / overflowed / dropped',[s.routed,s.overflowed,s.dropped].map(n).join(' / ')],\n"
    "  ...(s.collapsed_to==null?[]:[['routing has collapsed to','expert '+s.collapsed_to]]),\n"
    "  ['in memory',size(m.bytes)],['on disk',size(s.journal_bytes+s.state_bytes)]];\n"
    " return E('section',[E('h2',m.name),E('table',facts.map(([k,v])=>E('tr',[E('th',k),E('td',v)]))),\n"
    "  experts(x.experts)])}\n"
    "async function draw(){\n"
    " try{const {models}=await get('/v1/models');const parts=await Promise.all(models.map(model));\n"
    "  all.replaceChildren(...(parts.length?parts:[E('p','No model yet. POST records to /v1/models/NAME/ingest.')]));\n"
    "  bad.textContent=''}\n"
    " catch(e){bad.textContent=e.message}\n"
    " setTimeout(draw,2000)}\n"
    "const all=document.getElementById('all'),bad=document.getElementById('bad');draw();\n"
    "</script></html>\n";

atoll_outcome atoll_handle_dashboard(atoll_request *request, atoll_worker *worker)
{
    atoll_writer out;
    (void)worker;
    atoll_writer_init(&out);
    atoll_writer_raw(&out, page, sizeof page - 1);
    return atoll_request_reply(request, 200, &out, "text/html; charset=utf-8");
}
