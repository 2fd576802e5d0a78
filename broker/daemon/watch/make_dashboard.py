#!/usr/bin/python3
"""Writes dashboard.json, the Grafana dashboard over portolan-broker's metrics; `--check` fails where it differs from the file.

    broker/daemon/watch/make_dashboard.py [--check]
"""

import json
import pathlib
import sys

FILE = pathlib.Path(__file__).resolve().parent / "dashboard.json"
CHOSEN = 'instance=~"$instance"'
# title, unit, [(query, legend)], what it is for
PANELS = [
    ("Is every broker there?", "none", [(f"up{{job=\"portolan\",{CHOSEN}}}", "{{instance}}")], "1: it answers; 0: it does not."),
    ("Sessions", "none", [(f"portolan_sessions{{{CHOSEN}}}", "{{instance}}")], "Clients and brokers with a session."),
    ("Messages in", "cps", [(f"sum by (instance, topic) (rate(portolan_messages_received_total{{{CHOSEN}}}[$__rate_interval]))",
                             "{{instance}} {{topic}}")], "From publishers here and from other brokers."),
    ("Messages out", "cps", [(f"sum by (instance, topic) (rate(portolan_messages_sent_total{{{CHOSEN}}}[$__rate_interval]))",
                              "{{instance}} {{topic}}")], "One for each subscriber."),
    ("Payload", "Bps", [(f"sum by (instance) (rate(portolan_message_bytes_received_total{{{CHOSEN}}}[$__rate_interval]))", "{{instance}} in"),
                        (f"sum by (instance) (rate(portolan_message_bytes_sent_total{{{CHOSEN}}}[$__rate_interval]))", "{{instance}} out")],
     "Bytes of messages."),
    ("Time to delivery, p50 and p99", "s",
     [(f"histogram_quantile({q}, sum by (topic, le) (rate(portolan_delivery_seconds_bucket{{{CHOSEN}}}[$__rate_interval])))",
       f"{{{{topic}}}} p{round(100 * q)}") for q in (0.5, 0.99)], "From arrival here until the last subscriber acknowledged."),
    ("Messages that will never come", "cps",
     [(f"sum by (instance, topic) (rate(portolan_gap_messages_total{{{CHOSEN}}}[$__rate_interval]))", "{{instance}} {{topic}}")],
     "Told to clients as gaps."),
    ("Refused", "cps", [(f"sum by (instance, topic) (rate(portolan_messages_refused_total{{{CHOSEN}}}[$__rate_interval]))",
                         "{{instance}} {{topic}}")], "Refused whole; the publisher knows."),
    ("Let go and back", "cps", [(f"rate(portolan_detached_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}} let go"),
                                (f"rate(portolan_resumed_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}} back")],
     "Subscribers and brokers that fell behind their bound."),
    ("Lost and repaired", "cps",
     [(f"rate(portolan_packets_lost_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}} lost"),
      (f"rate(portolan_repair_datagrams_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}} sent again"),
      (f"rate(portolan_spurious_repairs_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}} for nothing")], "Packets."),
    ("Share of repair in what is sent", "percentunit",
     [(f"rate(portolan_repair_bytes_total{{{CHOSEN}}}[$__rate_interval]) / rate(portolan_datagram_bytes_sent_total{{{CHOSEN}}}[$__rate_interval])",
       "{{instance}}")], "Bytes."),
    ("Drops by reason", "cps", [(f"sum by (instance, reason) (rate(portolan_drops_total{{{CHOSEN}}}[$__rate_interval])) > 0",
                                 "{{instance}} {{reason}}")], "Each datagram that was not used says why."),
    ("Lost at the socket", "cps", [(f"sum by (instance, reason) (rate(portolan_socket_lost_total{{{CHOSEN}}}[$__rate_interval]))",
                                    "{{instance}} {{reason}}")], "Between engine and wire."),
    ("Credit for long messages", "cps",
     [(f"sum by (instance, slots, what) (rate(portolan_grants_total{{{CHOSEN}}}[$__rate_interval]))", "{{instance}} {{slots}} {{what}}")],
     "Slots granted and taken back."),
    ("Pools, the fullest first", "percentunit",
     [(f"topk(8, portolan_pool_used_most{{{CHOSEN}}} / (portolan_pool_bound{{{CHOSEN}}} > 0))", "{{instance}} {{pool}}")], "The most in use so far."),
    ("Kept messages", "bytes", [(f"portolan_retained_bytes{{{CHOSEN}}}", "{{instance}}")], "For who comes late or falls behind."),
    ("CPU", "percentunit", [(f"rate(process_cpu_seconds_total{{{CHOSEN},job=\"portolan\"}}[$__rate_interval])", "{{instance}}")], "Of one core."),
    ("Memory", "bytes", [(f"process_resident_memory_bytes{{{CHOSEN},job=\"portolan\"}}", "{{instance}} resident"),
                         (f"portolan_memory_bytes{{{CHOSEN}}}", "{{instance}} the engine's bound")], "The engine takes its bound once."),
]


def dashboard():
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = []
    for i, (title, unit, queries, why) in enumerate(PANELS):
        panels.append({
            "id": i + 1, "type": "timeseries", "title": title, "description": why, "datasource": source,
            "gridPos": {"h": 8, "w": 8, "x": 8 * (i % 3), "y": 8 * (i // 3)},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [{"refId": chr(ord("A") + k), "datasource": source, "expr": expr, "legendFormat": legend}
                        for k, (expr, legend) in enumerate(queries)],
        })
    return {
        "title": "Portolan brokers", "uid": "portolan-brokers", "schemaVersion": 38, "version": 1, "editable": True, "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"}, "timezone": "", "tags": ["portolan"], "panels": panels,
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
            {"name": "instance", "type": "query", "label": "Broker", "datasource": source, "includeAll": True, "multi": True,
             "allValue": ".*", "query": {"query": "label_values(portolan_broker_info, instance)", "refId": "instances"}, "refresh": 2,
             "current": {"text": "All", "value": "$__all"}},
        ]},
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if FILE.read_text() == text else "dashboard.json is not what make_dashboard.py writes: run it")
    FILE.write_text(text)
