// Reads {"tables": {name: "column: type, ..."}, "queries": [text, ...]} from standard input and
// writes what Microsoft's parser makes of each query: [{"complaints": [...], "columns": [...]}, ...].
"use strict";

require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");

const { KustoCode, GlobalState, Symbols } = Kusto.Language;

const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const tables = Object.entries(given.tables).map(([name, columns]) =>
  Symbols.TableSymbol.From(`(${columns})`).WithName(name),
);
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("db", tables));

const list = (found, pick) =>
  Array.from({ length: found.Count }, (_, index) => pick(found.getItem(index)));

const read = given.queries.map((query) => {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  return {
    complaints: list(
      code.GetDiagnostics(),
      (one) => `${one.Severity}: ${one.Message} (${query.slice(one.Start, one.Start + 40)})`,
    ),
    columns: code.ResultType.Columns ? list(code.ResultType.Columns, (column) => column.Name) : [],
  };
});
process.stdout.write(JSON.stringify(read));
