const { setup } = require('@sa11y/jest');

// expect(element).toBeAccessible(): Salesforce's own rules, on what a component renders.
setup();
