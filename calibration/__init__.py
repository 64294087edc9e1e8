"""How often findings are wrong: studies of known truth, judged by the code that judges users'."""
