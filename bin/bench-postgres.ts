// `npm run bench:postgres`: PostgreSQL with 2,000 databases: its defaults, our settings, our settings with a pooler.
import { Command } from "commander";
import { benchPostgres } from "../bench/postgres/bench.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run bench:postgres --")
  .description("PostgreSQL with many small databases, run in three ways side by side. As root.")
  .option("--spaces <n>", "databases", "2000")
  .option("--rounds <n>", "how often each way is measured, at most", "3")
  .action(({ spaces, rounds }: { spaces: string; rounds: string }) =>
    benchPostgres(Number(spaces), Number(rounds)),
  );

await runMain(() => program.parseAsync());
