/**
 * The vendor's own tools read the Salesforce package: source-deploy-retrieve converts it into what an org takes, and every
 * element of the result must be one that the Metadata API's types (as jsforce has them from its WSDL) know, with a value
 * of the type. Queries of the components must be GraphQL.
 *
 * The converter misses malformed XML and misspelt elements, the types miss what is required and which words a value may
 * be. Prints what was converted; exits with 1 and every problem.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { parse } from 'graphql';
import jsforce from '@jsforce/jsforce-node/lib/api/metadata/schema.js';
import sdr from '@salesforce/source-deploy-retrieve';

const { ComponentSet, MetadataConverter, RegistryAccess } = sdr;
const PACKAGE = resolve(dirname(fileURLToPath(import.meta.url)), '../../../../mappings/salesforce');

// Newer than the WSDL that jsforce was made from (Metadata API guide, FlexiPage: API version 49).
const NEWER = {
    ItemInstance: { type: 'ItemInstance', props: { componentInstance: '?ComponentInstance' } },
    FlexiPageRegion: { props: { itemInstances: ['ItemInstance'] } },
    ComponentInstance: { props: { identifier: '?string' } },
    // XML of its own to the WSDL; what may stand in it depends on the target.
    LightningComponentBundle: { props: { targetConfigs: '?any' } }
};

const TYPES = structuredClone(jsforce.ApiSchemas);
for (const [name, { props }] of Object.entries(NEWER)) {
    TYPES[name] = { ...TYPES[name], type: name, props: { ...TYPES[name]?.props, ...props } };
}

const LISTS_AND_TEXT = { ignoreAttributes: false, parseTagValue: false, trimValues: true, isArray: () => true };

function* files(folder) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) {
            yield* files(path);
        } else {
            yield path;
        }
    }
}

function elementsOf(type) {
    const known = TYPES[type];
    return known ? { ...elementsOf(known.extends), ...known.props } : {};
}

/** Every problem of one element, whose content is text or a map of lists. */
function* compare(content, type, path) {
    if (type === 'any') {
        return;
    }
    if (!(type in TYPES)) {
        const text = typeof content === 'string' ? content : '';
        if (typeof content !== 'string') {
            yield `${path} holds elements, and should hold a ${type}`;
        } else if (type === 'boolean' && !['true', 'false'].includes(text)) {
            yield `${path} is "${text}", and should be true or false`;
        } else if (type === 'number' && !/^-?\d+(\.\d+)?$/.test(text)) {
            yield `${path} is "${text}", and should be a number`;
        }
        return;
    }
    if (typeof content === 'string') {
        if (content) {
            yield `${path} holds text, and should hold the elements of ${type}`;
        }
        return;
    }
    const known = elementsOf(type);
    for (const [name, values] of Object.entries(content)) {
        if (name.startsWith('@_')) {
            continue;
        }
        const wanted = known[name];
        if (!wanted) {
            yield `${path} has <${name}>, which ${type} has not`;
            continue;
        }
        if (!Array.isArray(wanted) && values.length > 1) {
            yield `${path} has <${name}> ${values.length} times, and ${type} takes it once`;
        }
        const inner = (Array.isArray(wanted) ? wanted[0] : wanted).replace(/^\?/, '');
        for (const value of values) {
            yield* compare(value, inner, `${path}.${name}`);
        }
    }
    for (const [name, wanted] of Object.entries(known)) {
        if (!Array.isArray(wanted) && !wanted.startsWith('?') && !(name in content)) {
            yield `${path} lacks <${name}>, which ${type} must have`;
        }
    }
}

function* checkXml(root) {
    for (const path of files(root)) {
        const text = readFileSync(path, 'utf8');
        const verdict = path.endsWith('.xml') ? XMLValidator.validate(text) : true;
        if (verdict !== true) {
            yield `${relative(root, path)}, line ${verdict.err.line}: ${verdict.err.msg}`;
        }
    }
}

function* checkQueries(root) {
    for (const path of files(root)) {
        for (const [, query] of path.endsWith('.js') ? readFileSync(path, 'utf8').matchAll(/gql`([^`]*)`/g) : []) {
            try {
                parse(query);
            } catch (error) {
                yield `${relative(root, path)}: ${error.message}`;
            }
        }
    }
}

function* checkTypes(root) {
    const parser = new XMLParser(LISTS_AND_TEXT);
    for (const path of files(root)) {
        const name = relative(root, path).replaceAll('\\', '/');
        if (name === 'package.xml' || ['.js', '.html', '.css'].includes(extname(name))) {
            continue;
        }
        const document = parser.parse(readFileSync(path, 'utf8'));
        const [[type, [content]]] = Object.entries(document).filter(([tag]) => !tag.startsWith('?'));
        yield* compare(content, type, name.split('/').pop());
    }
}

const registry = new RegistryAccess();
const { packageDirectories, sourceApiVersion } = JSON.parse(readFileSync(join(PACKAGE, 'sfdx-project.json'), 'utf8'));
const components = ComponentSet.fromSource({ fsPaths: packageDirectories.map(({ path }) => join(PACKAGE, path)), registry });
components.sourceApiVersion = sourceApiVersion;

const out = mkdtempSync(join(tmpdir(), 'crmdrip-package-'));
try {
    const problems = [...checkXml(PACKAGE), ...checkQueries(PACKAGE)];
    const { packagePath } = await new MetadataConverter().convert(components, 'metadata', {
        type: 'directory',
        outputDirectory: out,
        packageName: 'package'
    });
    problems.push(...checkTypes(packagePath));

    const counts = {};
    for (const component of components.getSourceComponents()) {
        for (const one of [component, ...component.getChildren()]) {
            counts[one.type.name] = (counts[one.type.name] ?? 0) + 1;
        }
    }
    const made = [...files(packagePath)].length;
    console.log(`converted at API version ${sourceApiVersion} into ${made} files:`);
    for (const [type, count] of Object.entries(counts).sort()) {
        console.log(`  ${type} ${count}`);
    }
    if (problems.length) {
        console.error(problems.join('\n'));
        process.exitCode = 1;
    } else {
        console.log('every element is known to the Metadata API.');
    }
} finally {
    rmSync(out, { recursive: true, force: true });
}
