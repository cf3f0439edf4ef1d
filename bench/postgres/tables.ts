// Prints the figures of `npm run bench:postgres` as tables.
import { markdownTable } from "markdown-table";
import { median } from "../median.ts";
import type { Figures, Result, Task } from "./measurements.ts";

/** Prints a table: one line for each way, one column for each figure. */
function print(
  title: string,
  task: Task,
  figures: Figures[][],
  columns: Record<string, (one: Figures) => number | undefined>,
): void {
  const lines = task.ways.map(({ title }, index) => [
    title,
    ...Object.values(columns).map((of) => {
      const value = median((figures[index] ?? []).flatMap((one) => of(one) ?? []));
      return Number.isNaN(value) ? "–" : value.toFixed(value < 100 ? 1 : 0);
    }),
  ]);
  const align = ["l", ...Object.keys(columns).map(() => "r")];
  console.log(`\n${title}:\n\n${markdownTable([["", ...Object.keys(columns)], ...lines], { align })}`);
}

/**
 * Prints all figures.
 * @param machine The machine on which they were measured.
 * @param loads The load of the machine before, from os.loadavg().
 */
export function printFigures(
  task: Task,
  { figures, versions, spaces, files }: Result,
  machine: string,
  loads: number[],
): void {
  const { pages, crowd } = task;
  console.log(
    `${versions.join(", ")}; ${machine}, which clients, server and pooler share. ${spaces} databases of ${files} files; medians of ${figures[0]?.length} rounds. Load of the machine before: ${loads[0]?.toFixed(1)}; above 0.5, times and rates are worth less than CPU and memory.`,
  );
  for (const [part, title] of [
    ["pages", `Pages: ${pages.workers} workers, a space at random for ${pages.visit} requests on average`],
    ["polls", "Polls: the same, each request to another space"],
  ] as const)
    print(title, task, figures, {
      "requests/s": (one) => one[part].perSecond,
      "connect p50, ms": (one) => one[part].connect50,
      "request p50, ms": (one) => one[part].total50,
      "p99, ms": (one) => one[part].total99,
      "refused, %": (one) => one[part].refusedPercent,
      "CPU of the server, ms/request": (one) => one[part].serverCpuMs,
      "of the pooler": (one) => one[part].poolerCpuMs,
    });
  print(
    `Crowd: ${crowd.workers} workers, each holding its connection for ${crowd.holdMs / 1000} s more (not counted)`,
    task,
    figures,
    {
      "requests/s": (one) => one.crowd.perSecond,
      "request p50, ms": (one) => one.crowd.total50,
      "p99, ms": (one) => one.crowd.total99,
      "refused, %": (one) => one.crowd.refusedPercent,
      "server's processes": (one) => one.crowd.processes,
      "their own memory, MB": (one) => one.crowd.serverMb,
      "pooler's, MB": (one) => one.crowd.poolerMb,
      "CPU without a request, %": (one) => one.idleCpuPercent,
    },
  );
  const refusals = new Set(figures.flat().flatMap((one) => one.refusals));
  if (refusals.size > 0)
    console.log(`\nRefused with:\n${[...refusals].map((text) => `- ${text}`).join("\n")}`);
}
