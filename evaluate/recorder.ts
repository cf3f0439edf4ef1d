// Evaluates the program in-process, without engine or cloud, and returns the graph of resources that it declares.
// Tests and plans let it make outputs up; the lab's applier makes each resource and gives the real ones.
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

/** What the engine knows of a resource once it is there. Outputs are added to the inputs; `secret()` marks those that are secret. */
export interface ResourceState {
  id?: string;
  outputs?: Record<string, unknown>;
}

export interface RecordOptions {
  /** `prod-platform`, `lab-spaces-001`. */
  stack: string;
  /** @default Pulumi.<environment>.yaml under `root` */
  configFile?: string;
  /** Instead of a file. */
  config?: StackConfiguration;
  /** Decrypts the file's secrets; without it they have placeholders. */
  passphrase?: string;
  /** Another version of this repository to evaluate. @default this one */
  root?: string;
  /** Spares the program reading every tenants file; made by that same version's spaces/fleet/fleet.ts. */
  fleet?: unknown;
  /** Makes a custom resource once all that it depends on is there; without it, outputs are made up. */
  newResource?: (resource: Resource) => ResourceState | Promise<ResourceState>;
}

let last: Promise<unknown> = Promise.resolve();

/**
 * Evaluates one stack. Rejects with what the program throws. The SDK's state is one for the whole process, so calls
 * that overlap wait for each other.
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
  const monitor = new Recorder(stack, options.newResource ?? makeUp);
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

/** The SDK leaves a failed registration as an unhandled rejection; here it fails the evaluation. */
async function failingWithTheProgram<T>(run: () => Promise<T>): Promise<T> {
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  try {
    return await new Promise<T>((resolve, reject) => {
      process.on("unhandledRejection", reject);
      // The rejections of one failure arrive over several turns; the last turn must pass before listeners go.
      run().then((value) => setImmediate(resolve, value), reject);
    });
  } finally {
    await new Promise(setImmediate);
    process.removeAllListeners("unhandledRejection");
    for (const listener of others) process.on("unhandledRejection", listener);
  }
}

type Callback = (error: Error | null, response?: unknown) => void;

/** MockMonitor wants mocks; every method that would use them is overridden. */
function unreachable(): never {
  throw new Error("the recorder uses no mocks");
}

/** Stands where the engine's resource monitor would, and is told of every resource. */
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
    // The SDK shows `details`, as of an error that came over the wire.
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

  /** As the engine makes it: the type carries the types of all parents but the stack. */
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

/** What the SDK reads of a registration's answer: no protobuf, because it would be packed only to be unpacked. */
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

/** Ids and addresses of a cloud that isn't there: made from the URN, so that each resource keeps its own. */
function makeUp({ type, urn }: Resource): ResourceState {
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
