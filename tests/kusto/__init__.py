"""Microsoft's parser of Kusto queries, on Node.js."""
