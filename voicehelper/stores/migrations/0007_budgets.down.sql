DROP TABLE budget_notices;
DROP TABLE usage_ledger;
DROP TABLE budgets;
