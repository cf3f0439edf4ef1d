// Two suites: `program` needs neither root nor network and takes seconds; `lab` boots machines.
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "program",
          include: ["test/**/*.test.ts"],
          exclude: ["test/lab/**"],
          testTimeout: 20_000,
          // By default Vitest leaves one of two cores idle, and each file loads the SDK again, in its own process. Some
          // tests wait: three workers on two cores take 45 s, two take 49.
          maxWorkers: Math.ceil(availableParallelism() * 1.5),
          isolate: false,
        },
      },
      {
        test: {
          name: "lab",
          include: ["test/lab/**/*.test.ts"],
          globalSetup: "test/support/lab-teardown.ts",
          // The suites share a lab and the machine's cores, so they run one after the other.
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 1_800_000,
        },
      },
    ],
  },
});
