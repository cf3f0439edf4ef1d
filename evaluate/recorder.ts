// Evaluates the program in this process, without engine or cloud, and returns the graph of the resources that it
// declares. For tests and plans it invents outputs; the lab's applier creates each resource and returns the real ones.
// It compares nothing and keeps no state.
import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb.js";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks.js";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";
import type { Graph, Resource, ResourceOptions } from "./graph.ts";
import { readStackConfiguration, type StackConfiguration } from "./stack-configuration.ts";

const PROJECT = "framaspace";
const STACK_TYPE = "pulumi:pulumi:Stack";

/**
 * What the engine knows about a resource that exists. Outputs are added to the inputs; `secret()` marks secret ones.
 */
export interface ResourceState {
  id?: string;
  outputs?: Record<string, unknown>;
}

export interface RecordOptions {
  /** `prod-platform`, `lab-spaces-001`. */
  stack: string;
  /** @default Pulumi.<environment>.yaml under `root` */
  configFile?: string;
  /** The configuration itself, instead of a file. */
  config?: StackConfiguration;
  /** Decrypts the file's secrets. Without it, placeholders replace them. */
  passphrase?: string;
  /** Folder of the repository version to evaluate. @default this one */
  root?: string;
  /**
   * The tenants files, already read by spaces/fleet/fleet.ts of the same version. Without it, the program reads them.
   */
  fleet?: unknown;
  /** Creates a custom resource, after everything that it depends on. Without it, outputs are invented. */
  newResource?: (resource: Resource) => ResourceState | Promise<ResourceState>;
}

let last: Promise<unknown> = Promise.resolve();

/**
 * Evaluates one stack. Rejects with the error that the program throws. The SDK has one state for the whole process, so
 * calls run one after the other.
 */
export function record(options: RecordOptions): Promise<Graph> {
  const result = last.then(() => evaluate(options));
  last = result.catch(() => {});
  return result;
}

async function evaluate(options: RecordOptions): Promise<Graph> {
  const { stack, root = join(import.meta.dirname, "..") } = options;
  const [environment] = stack.split("-");
  const file = options.configFile ?? join(root, `Pulumi.${environment}.yaml`);
  const { values, secretKeys } = options.config ?? (await readStackConfiguration(file, options.passphrase));
  const program = await loadProgram(root);
  const monitor = new Recorder(stack, options.newResource ?? inventState);
  pulumi.runtime.setMockOptions(monitor, PROJECT, stack);
  pulumi.runtime.setAllConfig(values, secretKeys);
  const outputs = await failingWithTheProgram(async () => {
    const returned = await pulumi.runtime.runInPulumiStack(() => program(options.fleet));
    await pulumi.runtime.disconnect();
    return returned;
  });
  return {
    stack,
    resources: monitor.recorded.sort((a, b) => (a.urn < b.urn ? -1 : 1)),
    outputs: { ...outputs },
  };
}

const programModule = z.object({
  default: z.custom<(fleet?: unknown) => Promise<Record<string, unknown>>>(
    (value) => typeof value === "function",
  ),
});

async function loadProgram(root: string) {
  return programModule.parse(await import(pathToFileURL(join(root, "index.ts")).href)).default;
}

/** A failed registration becomes an unhandled rejection in the SDK. Here it makes the evaluation fail. */
async function failingWithTheProgram<T>(run: () => Promise<T>): Promise<T> {
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  try {
    return await new Promise<T>((resolve, reject) => {
      process.on("unhandledRejection", reject);
      // One failure causes rejections in several turns of the event loop. The listener stays until the last one.
      run().then((value) => setImmediate(resolve, value), reject);
    });
  } finally {
    await new Promise(setImmediate);
    process.removeAllListeners("unhandledRejection");
    for (const listener of others) process.on("unhandledRejection", listener);
  }
}

type Callback = (error: Error | null, response?: unknown) => void;

/** MockMonitor requires mocks, but every method that would use them is overridden. */
function unreachable(): never {
  throw new Error("the recorder uses no mocks");
}

/** Replaces the engine's resource monitor, to which the SDK registers every resource. */
class Recorder extends MockMonitor {
  readonly recorded: Resource[] = [];
  readonly #stack: string;
  readonly #newResource: NonNullable<RecordOptions["newResource"]>;

  constructor(stack: string, newResource: NonNullable<RecordOptions["newResource"]>) {
    super({ call: unreachable, newResource: unreachable });
    this.#stack = stack;
    this.#newResource = newResource;
  }

  override async registerResource(request: RegisterResourceRequest, callback: Callback): Promise<void> {
    try {
      const resource = this.#toResource(request);
      this.recorded.push(resource);
      const { id, outputs } = resource.custom ? await this.#newResource(resource) : {};
      callback(null, response(resource.urn, id, { ...resource.inputs, ...outputs }));
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)));
    }
  }

  override invoke(_request: unknown, callback: Callback): Promise<void> {
    const text = "the program asks a cloud while it is evaluated; it must know everything from its files";
    // The SDK shows `details`, as for a gRPC error.
    callback(Object.assign(new Error(text), { details: text }));
    return Promise.resolve();
  }

  override readResource(request: unknown, callback: Callback): Promise<void> {
    return this.invoke(request, callback);
  }

  override registerResourceOutputs(_request: unknown, callback: Callback): void {
    callback(null, {});
  }

  #toResource(request: RegisterResourceRequest): Resource {
    const type = request.getType();
    const name = request.getName();
    const parent = request.getParent();
    const provider = request.getProvider();
    const object: unknown = request.getObject()?.toJavaScript();
    return {
      type,
      name,
      urn: this.#urn(parent, type, name),
      ...(parent && { parent }),
      custom: request.getCustom(),
      inputs: typeof object === "object" && type !== STACK_TYPE ? { ...object } : {},
      dependencies: request.getDependenciesList().sort(),
      propertyDependencies: propertyDependencies(request),
      protect: request.getProtect() ?? false,
      // "<urn>::<id>"
      ...(provider && { provider: provider.slice(0, provider.lastIndexOf("::")) }),
      options: resourceOptions(request),
    };
  }

  /** Builds the URN as the engine does: the type includes the types of all parents except the stack. */
  #urn(parent: string, type: string, name: string): string {
    const parentType = parent.split("::")[2];
    const qualified = parentType && parentType !== STACK_TYPE ? `${parentType}$${type}` : type;
    return `urn:pulumi:${this.#stack}::${PROJECT}::${qualified}::${name}`;
  }
}

function propertyDependencies(request: RegisterResourceRequest): Record<string, string[]> {
  const result: [string, string[]][] = [];
  request.getPropertydependenciesMap().forEach((dependencies, property) => {
    const urns = dependencies.getUrnsList();
    if (urns.length > 0) result.push([property, urns.sort()]);
  });
  return Object.fromEntries(result);
}

function resourceOptions(request: RegisterResourceRequest): ResourceOptions {
  const list = (items: string[]) => (items.length > 0 ? items : undefined);
  const { create, update, pb_delete } = request.getCustomtimeouts()?.toObject() ?? {};
  const timeouts = Object.entries({ create, update, delete: pb_delete }).filter(([, time]) => time);
  const options = {
    ignoreChanges: list(request.getIgnorechangesList()),
    replaceOnChanges: list(request.getReplaceonchangesList()),
    additionalSecretOutputs: list(request.getAdditionalsecretoutputsList()),
    deleteBeforeReplace: request.getDeletebeforereplace() || undefined,
    retainOnDelete: request.getRetainondelete() || undefined,
    deletedWith: request.getDeletedwith() || undefined,
    import: request.getImportid() || undefined,
    timeouts: timeouts.length > 0 ? Object.fromEntries(timeouts) : undefined,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** The part of a registration's response that the SDK reads. A protobuf would be packed only to be unpacked again. */
function response(urn: string, id: string | undefined, outputs: Record<string, unknown>) {
  return {
    getUrn: () => urn,
    getId: () => id ?? "",
    getObject: () => ({ toJavaScript: () => outputs }),
    getPropertydependenciesMap: () => undefined,
    getResult: () => 0,
    getUnknown: () => false,
  };
}

/** Invents ids and addresses. They derive from the URN, so that a resource has the same ones in every evaluation. */
function inventState({ type, urn }: Resource): ResourceState {
  const digest = createHash("sha256").update(urn).digest();
  const address = `198.51.100.${((digest[0] ?? 0) % 254) + 1}`; // TEST-NET-2 (RFC 5737)
  const id = String(digest.readUInt32BE(1)); // hcloud's ids are numbers
  switch (type) {
    case "hcloud:index/server:Server":
      return { id, outputs: { ipv4Address: address } };
    case "hcloud:index/loadBalancer:LoadBalancer":
      return { id, outputs: { ipv4: address } };
    case "command:remote:Command":
      return { id, outputs: { stdout: "", stderr: "" } };
    default:
      return { id };
  }
}
