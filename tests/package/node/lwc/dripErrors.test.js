import { readError } from 'c/dripErrors';

it('prefers what a rule says to what stands beside it', () => {
    const fieldErrors = { Drip_Order__c: [{ message: 'This step has no Order.' }] };
    expect(readError({ body: { message: 'An error occurred', output: { errors: [], fieldErrors } } })).toBe(
        'This step has no Order.'
    );
});

it('joins several messages and says each once', () => {
    expect(readError([{ message: 'One' }, { message: 'Two!' }, { message: 'One' }])).toBe('One. Two!');
});

it('reads the list that an answer of the REST API is', () => {
    expect(readError({ body: [{ message: 'entity is deleted', errorCode: 'ENTITY_IS_DELETED' }] })).toBe('entity is deleted.');
});

it('says what to do where there is no reason', () => {
    expect(readError(undefined)).toBe('Salesforce gave no reason. Reload the page and try again.');
});
