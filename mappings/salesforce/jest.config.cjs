const { jestConfig } = require('@salesforce/sfdx-lwc-jest/config');

module.exports = {
    ...jestConfig,
    // Outside force-app, so that everything in there is installed, and nothing else.
    testMatch: ['<rootDir>/tests/**/*.test.js']
};
