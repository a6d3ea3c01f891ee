"""The playbooks, executed by Microsoft's own Logic Apps engine against local servers."""
