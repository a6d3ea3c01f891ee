"""The playbooks, executed by Microsoft's own Logic Apps engine against local servers.

engine, engine_host, openssl   the engine: validates definitions, evaluates expressions
runner, vocabulary, history    order, statuses, loops and variables of a run
wire, calls                    requests, retries, 202 and time limits in virtual time
arm, definitions               templates: what a deployment makes of them, what is in them
place, function                the sandbox's Sentinel and Copilot, and the function app
scene, feed_scene              a function app that answers from a script
demo                           the incident playbook, step by step
"""
