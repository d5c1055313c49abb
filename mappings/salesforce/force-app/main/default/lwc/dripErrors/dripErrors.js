/**
 * What went wrong, as one sentence for a person.
 *
 * Lightning Data Service answers with a body of messages, of output errors by field, or with a plain Error; GraphQL with
 * a list of errors.
 */
export function readError(error) {
    const found = [...new Set(messagesOf(error))].map(withStop);
    return found.length ? found.join(' ') : 'Salesforce gave no reason. Reload the page and try again.';
}

function messagesOf(error) {
    if (!error) {
        return [];
    }
    if (Array.isArray(error)) {
        return error.flatMap(messagesOf);
    }
    const { body } = error;
    const output = body?.output;
    // A refusal by a validation rule says what to do in its own message; the message beside it only says that it failed.
    const refused = [...(output?.errors ?? []), ...Object.values(output?.fieldErrors ?? {}).flat()];
    if (refused.length) {
        return refused.map((one) => one.message);
    }
    if (Array.isArray(body)) {
        return body.map((one) => one.message);
    }
    const message = body?.message ?? error.message;
    return message ? [message] : [];
}

function withStop(message) {
    const text = message.trim();
    return /[.!?]$/.test(text) ? text : `${text}.`;
}
